/** Messages in languages other than English, a few phrases each; held out in parts that have all languages. */
import type { Polarity } from '../record.ts';

export const LANGUAGES: Record<Polarity, readonly string[]> = {
  worked: phrases(`
    danke | vielen dank | super, danke | perfekt | funktioniert jetzt | passt so | sieht gut aus | klasse gemacht | läuft jetzt | genau so | gut gemacht | einwandfrei | jetzt geht es | alle tests grün | super, jetzt noch die doku | ja genau
    merci | parfait | ça marche | super merci | nickel | c'est bon | très bien | impeccable | génial, merci | ça fonctionne maintenant | les tests passent | oui exactement | bien joué | c'est corrigé
    gracias | perfecto | funciona | muy bien | excelente, gracias | ya funciona | genial | listo, gracias | está bien así | los tests pasan | sí, exacto | buen trabajo | ahora funciona bien
    obrigado | perfeito | funcionou | muito bom | ficou ótimo | deu certo | valeu | agora funciona | os testes passaram
    grazie | perfetto | funziona | ottimo | va bene così | grazie mille | adesso funziona | i test passano
    спасибо | отлично | работает | супер, спасибо | всё заработало | хорошо, спасибо | теперь работает | тесты проходят | да, именно так
    谢谢 | 很好 | 可以了 | 完美 | 成功了 | 没问题，谢谢 | 不错，继续 | 测试通过了 | 现在可以了 | 好的，谢谢
    ありがとう | 完璧です | 動きました | いいですね | うまくいった | テストが通りました | 直りました
    감사합니다 | 완벽해요 | 잘 되네요 | 좋아요 | 이제 작동해요
    dziękuję | działa | świetnie | super, dzięki | teraz działa
    bedankt | werkt nu | perfect, dank je | goed zo | de tests slagen
    teşekkürler | harika | çalışıyor | şimdi oldu
    tack | perfekt, tack | det fungerar nu | धन्यवाद | बहुत अच्छा | شكرا | ممتاز | يعمل الآن
  `),
  failed: phrases(`
    das funktioniert nicht | geht nicht | falsch | nein, das ist falsch | immer noch der gleiche fehler | mach das rückgängig | das wollte ich nicht | das ist kaputt | du hast den test vergessen | stimmt nicht | so nicht | der build schlägt fehl | jetzt geht gar nichts mehr | nicht diese datei, die andere | bitte nimm stattdessen eine schleife
    ça ne marche pas | non, ce n'est pas ça | toujours la même erreur | annule ça | c'est faux | tu as oublié le test | ça plante | mauvais fichier | reviens en arrière | les tests échouent | ce n'est pas ce que j'ai demandé | utilise plutôt une liste
    no funciona | está mal | sigue fallando | deshaz eso | eso no es lo que pedí | da error | te olvidaste del import | incorrecto | rompiste todo | los tests fallan | no, usa una lista | todavía no funciona
    não funciona | está errado | ainda dá erro | desfaz isso | não era isso | quebrou tudo | os testes falham | esqueceu o import
    non funziona | sbagliato | annulla | ancora errore | non è quello che volevo | i test falliscono | hai dimenticato il test
    не работает | неправильно | отмени | та же ошибка | нет, не так | всё сломалось | ты забыл тест | тесты падают | всё ещё не работает
    不对 | 不行 | 还是报错 | 撤销 | 不是这个意思 | 错了 | 没用 | 回退 | 运行失败 | 测试失败了 | 还是不行 | 你忘了测试
    違います | 動きません | まだエラーです | 元に戻して | 間違っています | テストが失敗します | まだ直っていません
    안 돼요 | 아니요, 틀렸어요 | 여전히 오류 | 되돌려 주세요 | 아직 작동하지 않아요
    nie działa | źle | cofnij to | nadal błąd | testy nie przechodzą
    werkt niet | fout | nee, niet zo | maak ongedaan | nog steeds een fout | de tests falen
    çalışmıyor | yanlış | geri al | hâlâ hata | hayır, öyle değil
    det fungerar inte | fel | ångra det | यह काम नहीं करता | गलत | لا يعمل | خطأ | تراجع
  `),
  neutral: phrases(`
    füge einen test hinzu | wie funktioniert das | was macht diese funktion | schreib eine funktion für die summe | benenne die variable um | zeig mir die datei | erkläre den code | sortiere die liste | welche version nutzen wir | kannst du das dokumentieren | weiter | hallo | lies die datei ein
    ajoute un test | comment ça fonctionne | explique cette fonction | écris une fonction qui trie | renomme la variable | montre le fichier | à quoi sert ce fichier | bonjour | continue avec le reste | crée une classe
    añade una prueba | cómo funciona esto | explica esta función | escribe una función que ordene | cambia el nombre | muestra el archivo | para qué sirve | hola | sigue | crea una clase
    adicione um teste | como isso funciona | explique a função | crie uma classe | mostre o arquivo | olá
    aggiungi un test | come funziona | spiega questa funzione | crea una classe | mostra il file | ciao
    добавь тест | как это работает | объясни функцию | напиши функцию сортировки | покажи файл | что делает этот код | привет | продолжай
    加一个测试 | 这是怎么工作的 | 解释一下这个函数 | 写一个排序函数 | 打开文件 | 你好 | 继续 | 把变量改名 | 这个文件是做什么的
    テストを追加して | これはどう動きますか | この関数を説明して | ファイルを見せて | 続けて | こんにちは
    테스트를 추가해 줘 | 이 함수 설명해 줘 | 어떻게 동작해요 | 안녕하세요
    dodaj test | jak to działa | pokaż plik | cześć
    voeg een test toe | hoe werkt dit | leg deze functie uit | hallo daar
    bir test ekle | bu nasıl çalışıyor | dosyayı göster | merhaba
    lägg till ett test | hur fungerar det | एक परीक्षण जोड़ें | यह कैसे काम करता है | أضف اختبارا | كيف يعمل هذا
  `),
};

function phrases(block: string): string[] {
  return block.split(/\n|\|/).map((phrase) => phrase.trim()).filter((phrase) => phrase !== '');
}
